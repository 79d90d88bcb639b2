"""Two small CLIPs that ship with the program, and the sets of drawn pictures to try them on."""
