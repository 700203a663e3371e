// Package event is what subscribers hear of secrets: which events a project
// has, what each firing of one was, and when it is delivered.
//
// # Words
//
//	Event         what a project wants to hear of, and where: secrets subscribe to one
//	Type          what may happen to a secret
//	Notification  one firing of an event: to be delivered, and afterwards its record
//	Target        where notifications go; clients name one, the operator says what it is
//
// # At least once
//
// A notification is a row that is written by the statement which makes the
// change, so neither is without the other. Nodes claim rows that are due; a
// claim lapses, so one whose node died is claimed again. A receiver may hear of
// a notification twice, by the same identifier, and never not at all, unless it
// is away for as long as Courier.RetryFor.
//
// # Where things are
//
//	event.go         types
//	service.go       the operations on events and records, each behind the gate
//	notification.go  what a notification says
//	courier.go       delivering what is due
//	ports.go         what the operations need from the outside
//
// The package does no I/O of its own. Package event/deliver has the ways to a
// target.
package event
