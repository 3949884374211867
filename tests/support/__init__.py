"""Servers, fakes and spans that tests of several folders use."""
