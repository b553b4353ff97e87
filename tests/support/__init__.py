"""Helpers of the tests. Where to look first.

I need ...                                           -> use ...
a wheel, honest or altered, and its pin's facts      -> wheels.build_wheel, wheels.altered; the fixture `tiny`
a wheel that installs but need not load              -> hostile.plain_wheel
a wheel that breaks the archive policy               -> hostile
a wheel that takes several pieces to transfer        -> hostile.large_wheel
a small wheel of an older or newer version           -> scenes.small_wheel, scenes.pin_of
the one official pipeline                            -> real.real_wheel_in
a server that does as it is told                     -> server; the fixture `server`
nginx, squid, tinyproxy and certificates             -> peers
a catalog of my own                                  -> offers.offer
a package index of my own                            -> package_index
to tell what lies in a folder, and that it is whole  -> folders
to watch a folder meanwhile                          -> folders, as a program
to run a script, here or as another user             -> children
work in forked children, all let go at once           -> children.forked
many that ask for a model at once, locks broken too   -> races.run
Ctrl-C at every moment                               -> interrupts.run
to see that no thread is left                        -> interrupts.threads_left
death, faults or loss of power at every moment       -> crash, traced, powerloss, on the scenes of scenes
to report the figures of a sweep or a race           -> the fixture `count`
"""
