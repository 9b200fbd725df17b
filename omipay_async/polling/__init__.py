"""Waiting until an order is paid or a refund has arrived."""
