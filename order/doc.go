// Package order makes keys for callers: they say what they want, and fetch it
// as secrets when it is there.
//
// # Words
//
//	Order     what was asked for, and what became of it
//	key       an order for one symmetric key; asymmetric is one for a key pair
//	claim     a worker's right to work on an order until a moment, which it moves
//	          while it is at it; whoever claims it later has a higher attempt,
//	          and only the highest counts
//	place     room for one more order to be worked on in this process
//	complete  store all that an order made, and that it is ACTIVE, at once
//
// # An order's life
//
// Create stores it PENDING and claimed, and a worker of the same process makes
// what it asks for: the token's random bytes, a key pair, their envelopes. All
// of that is in memory. Then one statement stores secrets, versions, container,
// audit events and the new state, if the order still is there, PENDING and at
// the worker's attempt. So whatever dies or races, an order yields one set of
// secrets or none.
//
// A worker that dies leaves a claim that lapses. Resume, which a timer calls on
// every node, claims what nobody works on. What may pass (token or database
// away) gives the claim back for a while; what will not pass makes the order
// ERROR. An order that keeps killing its workers becomes ERROR, too.
//
// Who deletes a PENDING order gets nothing of it: completing it finds no row.
//
// # Where things are
//
//	order.go    types and the rules they keep
//	service.go  the operations, each behind the gate
//	create.go   Create, and how long it waits
//	work.go     claims, places, what an error means for an order
//	make.go     what an order yields; random.go the bytes of keys
//	ports.go    what the operations need from the outside
//
// Package order/keypair makes the key pairs.
package order
