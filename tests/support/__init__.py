"""Helpers of the tests. Where to look first; the fixtures are in tests/conftest.py.

I need ...                                            -> use ...
a wheel, small, large, altered or one that loads      -> the fixtures `wheel`, `pin`, `tiny`, `tiny_pin`; wheels
a wheel that breaks the archive policy                -> wheels.BREACHES, wheels.Tampering
an official wheel, from the package index             -> the fixture `real_wheel`; real
a server that does as it is told                      -> the fixtures `server`, `other_server`; server.Reply
a mirror, a catalog, a package index of my own        -> the fixtures `mirror`, `file_mirror`; sources
nginx, squid, tinyproxy and certificates              -> peers, with the files in configs
a program or a package that not every machine has     -> needs: name it there, and the head of a run says it is missing
another user, no network, an overlay mount            -> children.skip_unless_other_user, .without_network; layers
what pip has installed; a rename that is refused      -> wheels.unzipped; layers.refuse_renames
to run a command, here or as a program, and read it   -> commands.run, .output, .facts, .failure; commands.MAIN
a script in a child, an environment, forked children  -> children.python, .make_env, .forked; children.ENSURE installs
a child that does not wait for spaCy's import         -> children.STUB_SPACY, which puts stub/spacy in its place
to know what is in a folder, and if a model is whole  -> folders; as a program it watches meanwhile
to compare a call with the same of spacy.load         -> forms
many that ask for a model at once                     -> races.run
the threads that are left after Ctrl-C                 -> interrupts
death, faults, Ctrl-C, power loss at every operation  -> sweeps.run, from each of states.STATES: crash breaks the
                                                         install there; replay leaves what a log of it had written
README's code and tables                              -> readme
"""
