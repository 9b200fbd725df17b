"""Waiting until an order is paid, or until a refund has arrived."""
