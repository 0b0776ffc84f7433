"""Random walks over the states of applications, held against the documented diagram."""
