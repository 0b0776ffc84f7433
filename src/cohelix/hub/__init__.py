"""The federation's hub."""
