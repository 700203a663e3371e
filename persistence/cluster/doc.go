// Package cluster runs a private PostgreSQL server under one folder, for
// `strongroom dev` and for tests.
//
// # The folder
//
//	data/          what initdb made; data.new while it is at it
//	run/           the socket and its lock file
//	postgres.log   what the server says
//
// # Who runs it
//
// The server listens on a Unix socket alone and trusts everybody who can reach
// it; the socket's folder lets in its owner and root. PostgreSQL refuses to run
// as root, so a caller that is root starts it as the system user postgres. The
// folder may then lie where that user cannot go (/root, a test's private
// temporary folder): the server is handed open directories and reaches them
// through /proc/self/fd, so nobody's permissions need to be loosened.
//
// The server dies with the process that started it, and a folder that was left
// behind by kill -9 opens again.
package cluster
