// Package container is about secrets that belong together: a key pair, a
// certificate with its key, or just a list. A container holds references, so
// secrets outlive it, and a secret that is deleted leaves all containers.
//
// # Words
//
//	Container  a named list of entries, of one type
//	Entry      one secret in a container, under a name or none
//	Consumer   somebody who says that it needs the container; says it, no more
//	ACL        who may read the container beside the project's roles; it says
//	           nothing about the secrets in it
//
// Like a secret, a container is located first and then asked; each operation
// of Located passes the gate before it changes or reveals anything.
//
// # Where things are
//
//	container.go  the types, and which entries a type wants
//	service.go    Service and Locate
//	create.go     making, showing, listing and deleting
//	entries.go    adding and removing secrets
//	acl.go        who may read
//	consumers.go  who needs it
//	ports.go      what the operations need from the outside
package container
