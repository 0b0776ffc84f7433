"""Who may ask what: roles, visas and datasets, tried over HTTP with real tokens."""
