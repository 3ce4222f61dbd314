"""Beartype as the tests use it: an int is welcome where a float is expected, as PEP 484 has it."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
