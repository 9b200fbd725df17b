"""Notifications, and the handler that runs once per paid order."""
