package deliver

import "net/netip"

// May reports whether a target may be at ip where own is allowed.
func May(own Networks, ip netip.Addr) bool { return own.may(ip) }
