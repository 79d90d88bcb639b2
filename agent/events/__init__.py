"""What happens, as typed values, and those who listen."""
