"""Notifications, and the handler that runs once for each paid order."""
