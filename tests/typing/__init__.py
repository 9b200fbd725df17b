"""What type checkers show to users. Nothing here is run."""
