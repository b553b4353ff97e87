"""Helpers of the tests. Where to look first; the fixtures are in tests/conftest.py.

I need ...                                             -> use ...
a wheel that installs at once, and its pin             -> the fixtures `wheel`, `pin`; wheels.small_wheel
a wheel of a pipeline that loads, and its pin          -> the fixtures `tiny`, `tiny_pin`; wheels.build_wheel
a large wheel, an altered one                          -> wheels.large_wheel, wheels.altered
a wheel that breaks the archive policy                 -> wheels.BREACHES, wheels.Tampering
an official wheel                                      -> the fixture `real_wheel`; real
a server that does as it is told, a second one         -> the fixtures `server`, `other_server`; server.Reply
a mirror that has the wheel                            -> the fixtures `mirror` (a server), `file_mirror` (a folder)
a catalog and a mirror of my own                       -> sources.publish
a package index of my own                              -> sources.publish_to_index, sources.point_pip_at
to compare a call with the same of spacy.load          -> forms.FORMS, forms.outcome
nginx, squid, tinyproxy and certificates               -> peers
to know what is in a folder                            -> folders.snapshot
to know whether a model is complete, and alone         -> folders.is_complete, folders.leftovers
a reader that watches a folder meanwhile               -> folders, as a program
to run a script, here or as another user               -> children.python, children.command
to do work in forked children, all let go at once      -> children.forked
many that ask for a model at once, locks broken too    -> races.run
Ctrl-C at every moment of an install, or at one        -> interrupts.run, interrupts.pressed
to see that no thread is left                          -> interrupts.threads_left
death, faults, power loss at every operation           -> crash, traced, powerloss; from each of states.STATES
a real overlay mount                                   -> layers
to report the figures of a sweep or a race             -> the fixture `count` of tests/promises
to know which handlers could catch our own errors      -> handlers.Package
the code blocks of a section of README.md              -> readme.blocks
"""
