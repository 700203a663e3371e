// Package deliver takes notifications to receivers: CloudEvents by signed
// webhook (standard-webhooks) or to a NATS stream.
//
// A client names a target, and the operator says what it is; so no client
// decides where the server connects to. What an address resolves to is looked
// at all the same, on the socket, after DNS and right before it connects: a
// receiver's name must not become the way to the server's own network.
//
// Where things are:
//
//	message.go  a notification as a CloudEvent
//	guard.go    where connections may go
//	webhook.go  by HTTP
//	nats.go     by NATS
package deliver
