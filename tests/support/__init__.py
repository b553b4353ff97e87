"""Helpers of the tests: wheels built on the spot and a scripted loopback server."""
