"""The sandbox over HTTP: its ASGI app, and the pages that people see, which are the dashboard and the pay pages."""
