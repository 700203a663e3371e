// Package postgres keeps what the product knows in PostgreSQL. All SQL of the
// product is here, each statement inside the method that runs it or in the
// query files that sqlc reads.
//
// # Words
//
//	Round trip  one message to the server and its answer; BEGIN, COMMIT and
//	            preparing a statement are round trips too
//	Statement   prepared once per connection, on first use, by its text
//	Lost        a connection that broke while a statement was on its way: nobody
//	            knows whether the statement was carried out
//
// # Where things are
//
//	db.go        Open, Ready, and what a DB is configured with
//	run.go       row, query, exec, inTx: how every statement is run
//	conn.go      one connection: deadlines, prepared statements, counting
//	dial.go      the socket below it
//	errors.go    what may be told of an error, and which kind of fault it is
//	find.go      reading one secret; find_columns.go has what is read
//	create.go, apply.go, delete.go, metadata.go
//	             changing one
//	list.go, named.go
//	             pages of secrets
//	masterkeys.go, keks.go
//	             the key hierarchy
//
// Times are stored in microseconds and come back in UTC. Every bytea is passed
// as []byte and every JSON as a string.
package postgres
