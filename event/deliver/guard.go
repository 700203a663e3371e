package deliver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/strongroom-kms/strongroom/event"
)

// Networks are those that a target may be in although they are not public.
type Networks []netip.Prefix

// reserved are networks that are not public, beside those that package netip
// has a name for: this network, carriers' own, protocol assignments,
// documentation, benchmarks, future use; and those that carry an IPv4 address
// in an IPv6 one, which may be any of the others.
var reserved = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

// public reports whether ip is an address on the Internet.
func public(ip netip.Addr) bool {
	return ip.IsValid() && ip.IsGlobalUnicast() && !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() &&
		!slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// may reports whether a connection to ip is fine.
func (own Networks) may(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return public(ip) || slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// control is called with the address that a socket is about to connect to.
func (own Networks) control(network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") || !own.may(to.Addr()) {
		return fmt.Errorf("%w: its address is not public, and not in allowed_networks", event.ErrUnusable)
	}
	return nil
}

// dialer connects only to where own lets it.
func (own Networks) dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, Control: own.control}
}

// told is err without what it quotes of addresses: a webhook's URL may be a
// credential.
func told(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, event.ErrUnusable):
		return fmt.Errorf("%w: its address is not public, and not in allowed_networks", event.ErrUnusable)
	case errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil:
		return errors.New("the receiver does not answer in time")
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Errorf("connect to receiver: %w", e)
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return errors.New("the receiver's name has no address")
		}
		return errors.New("the receiver's name cannot be looked up")
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return errors.New("the receiver does not answer in time")
	}
	return fmt.Errorf("talk to receiver: %T", innermost(err))
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
