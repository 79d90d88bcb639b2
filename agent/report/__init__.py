"""What a search leaves for people and for other tools."""
