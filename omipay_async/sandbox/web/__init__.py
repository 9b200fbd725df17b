"""The sandbox as people see it: the dashboard and the pay page."""
