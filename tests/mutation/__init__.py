"""Small faults, put into the package on purpose: a fault that no test notices shows what the tests do not check."""
