"""Every page of a real hub in a real browser: axe in both schemes and three languages, hostile text through every field."""
