package postgres

import (
	"context"
	"net"
	"syscall"
	"time"
)

// dialer makes the one socket of one connection and remembers it. The driver
// reads for ever from a network that went silent, whatever the context says
// (ECOSYSTEM §5), so each call on a connection begins with a deadline on its
// socket.
type dialer struct {
	socket net.Conn
}

// DialContext implements pq.DialerContext.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var n net.Dialer
	c, err := n.DialContext(ctx, network, address)
	d.socket = c
	return c, err
}

// Dial and DialTimeout make a dialer a pq.Dialer. The driver takes DialContext.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d *dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// alive reports whether an idle socket is still silent. A server that went
// away, restarted or was told to end this session has closed it or written a
// farewell; a statement sent there would be lost.
func (d *dialer) alive() bool {
	sc, ok := d.socket.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	silent := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
	})
	return err == nil && silent
}
