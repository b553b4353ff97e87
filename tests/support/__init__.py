"""Helpers of the tests. Where to look first; the fixtures are in tests/conftest.py.

I need ...                                            -> use ...
a wheel, small, large, altered or one that loads      -> the fixtures `wheel`, `pin`, `tiny`, `tiny_pin`; wheels
a wheel that breaks the archive policy                -> wheels.BREACHES, wheels.Tampering
an official wheel, from the package index             -> the fixture `real_wheel`; real
a server that does as it is told                      -> the fixtures `server`, `other_server`; server.Reply
a mirror, a catalog, a package index of my own        -> the fixtures `mirror`, `file_mirror`; sources
nginx, squid, tinyproxy and certificates              -> peers
something that not every machine has                  -> needs, layers, children.skip_unless_other_user
to run a command and read what it printed             -> commands
a script in a child, as another user, many forked     -> children; with STUB_SPACY if it is not about spaCy
to know what is in a folder, and if a model is whole  -> folders; as a program it watches meanwhile
to compare a call with the same of spacy.load         -> forms
many that ask for a model at once                     -> races.run
Ctrl-C at one moment, and the threads that are left   -> interrupts
death, faults, Ctrl-C, power loss at every operation  -> sweeps.run, from each of states.STATES (crash, replay)
README's code and tables, the package's handlers      -> readme, handlers
"""
