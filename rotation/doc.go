// Package rotation changes the passwords of database accounts that secrets
// hold (csms.md §7): at the database and in the secret, so that what is current
// in the store logs in.
//
// # Words
//
//	Instance  a database that the operator configured, under the identifier
//	          that secrets name it by
//	Target    how an instance is spoken to
//	Account   a name and a password in a secret's value
//	Task      one rotation of one secret, from its request to its end
//	Step      how far a task has come, in its row
//
// # The steps
//
// A task is worked on by whoever has claimed it. Each step is on record before
// what it names is done, so that after a crash anybody can go on:
//
//	created    the new value is stored as a version with the stage SYSPENDING;
//	           the database knows nothing of it yet
//	setting    the new password is being set: the database may have it or not.
//	           Setting it again does no harm
//	testing    the database has it; does it log in?
//	reverting  it does not: the old password is being set again
//
// Then one statement moves SYSCURRENT and ends the task, or drops the version
// and ends the task. While nobody knows whether the database took the new
// password, neither happens: the version stays until the database answers.
//
// # Where things are
//
//	task.go      a task, its steps, and what was asked about tasks
//	config.go    rotation_config, in the spellings that clients use
//	value.go     the value of a database secret, changed and nothing else of it
//	ports.go     Target and Store
//	service.go   what callers ask for: a rotation now, the list of tasks
//	due.go       rotations that are due by themselves
//	work.go      claiming tasks and doing their steps
//	target.go    the steps that speak to an instance
//
// The package does no I/O of its own.
package rotation
