"""Helpers of the tests. Where to look first.

I need ...                                            -> use ...
a wheel, and its pin                                  -> the fixtures `wheel`, `pin`; wheels.small_wheel
a wheel of a pipeline that loads                      -> the fixtures `tiny`, `tiny_pin`; wheels.build_wheel
an older, a large, an altered wheel                   -> wheels.small_wheel, wheels.large_wheel, wheels.altered
a wheel that breaks the archive policy                -> wheels.BREACHES, wheels.Tampering
an official wheel                                     -> the fixture `real_wheel`
a server that does as it is told                      -> the fixture `server`; server.Reply
a mirror that has the wheel                           -> the fixture `mirror`: the server; `file_mirror`: a folder
nginx, squid, tinyproxy and certificates              -> peers
a catalog and a mirror of my own                      -> sources.publish
a package index of my own                             -> sources.publish_to_index, sources.point_pip_at
to know what lies in a folder                         -> folders.snapshot
to know whether a model is complete                   -> folders.is_complete
a reader that watches a folder meanwhile              -> folders, as a program
to run a script, here or as another user              -> children.python, children.command
to do work in forked children, all let go at once     -> children.forked
many that ask for a model at once, locks broken too   -> races.run
Ctrl-C at every moment, or at one                     -> interrupts.run, interrupts.pressed
a block of README's, to run it                         -> readme.blocks
to see that no thread is left                         -> interrupts.threads_left
death, faults or loss of power at every moment        -> crash, traced, powerloss; from each of states.STATES
to report the figures of a sweep or a race            -> the fixture `count`
"""
