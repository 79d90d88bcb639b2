"""Two small CLIPs that ship with the program, and sets of drawn pictures to try them on."""
