"""Runs tests that nobody trusts in a child process: within limits, behind a fence, and watched by a warden."""
