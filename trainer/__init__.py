"""Learning: the only place with torch."""
