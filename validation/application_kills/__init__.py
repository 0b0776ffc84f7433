"""SIGKILL at random moments of the application loop: nothing that was acknowledged is lost or doubled."""
