"""Kills the local host and its workers at random under load, and checks that nothing was lost or done twice."""
