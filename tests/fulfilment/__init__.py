"""Tests of notifications and the once-guard."""
