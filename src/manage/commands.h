/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What "kelvin ..." can be asked to do; each returns the exit status. */
#ifndef MANAGE_COMMANDS_H
#define MANAGE_COMMANDS_H

int command_vm(int argc, char **argv);  /* QEMU's command line */
int command_run(int argc, char **argv); /* the friendly form */
int command_doctor(void);

#endif
