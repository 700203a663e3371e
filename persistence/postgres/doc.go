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
//	db.go          Open, Ready, Migrate, and what every session is set to
//	run.go         row, query, exec, inTx: how every statement is run
//	conn.go        one connection: deadlines, prepared statements, counting
//	dial.go        the socket below it
//	errors.go      what may be told of an error, and which kind of fault it is
//	columns.go     a secret's columns, in and out
//	find.go        reading one secret
//	restore.go     storing one that was backed up, whole
//	create.go      storing one, and the lock that keeps a KEK while that happens
//	room.go        whether a project's quota leaves room for one more
//	quotas.go      what was set for projects
//	apply.go       changing and deleting one
//	notices.go     telling subscribers of it, in the same statement
//	events.go      what they subscribe to; notifications.go what they are told
//	metadata.go    its user metadata
//	tags.go        its tags, and secrets by their tags
//	acl.go         its ACL, and what is shared with one user
//	consumers.go   who needs it
//	list.go        Barbican's lists; page.go how a page is found, name.go how
//	               names are, tally.go how many there are without counting
//	purge.go       removing secrets whose time is over; leases.go who does so;
//	               purge_project.go what a deleted project left behind
//	named.go       CSMS's pages, and what a handle means
//	containers.go  containers: made, found, listed, deleted; container_rows.go
//	               has their columns, container_entries.go what is in them,
//	               container_acl.go who may read, container_consumers.go who needs
//	orders.go      orders: made, found, listed, deleted; orders_work.go claims
//	               them, and stores what they make
//	masterkeys.go  master keys by name, leases, and the first KEK
//	keks.go        what becomes of a KEK
//	identity*.go   users, projects, roles and what they show
//	tokengroups.go which token groups there are, and which a project prefers
//	rotations.go   rotations of secrets: their tasks, and who works on them
//	loginblock.go  what nodes tell each other about logging in at a token
//	queries/       plain statements, which sqlc turns into package plain
//
// A session is told its settings when it begins (newConnector), and keeps its
// prepared statements. A pooler between us and the server must therefore lend a
// whole session, as PgBouncer does with pool_mode = session, and let those
// settings pass: PgBouncer refuses start-up parameters that it neither tracks
// nor finds in ignore_startup_parameters. What is ignored there must be set for
// the role instead (ALTER ROLE … SET), statement_timeout above all.
//
// Times are stored in microseconds and come back in UTC. Every bytea is passed
// as []byte and every JSON as a string.
package postgres
