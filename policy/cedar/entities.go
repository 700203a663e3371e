package cedar

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
)

// world is what one request lets the engine look at.
type world struct {
	caller   cedar.Entity
	resource cedar.Entity
	actions  cedar.EntityMap
}

// Get implements cedar.EntityGetter.
func (w world) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	switch uid {
	case w.caller.UID:
		return w.caller, true
	case w.resource.UID:
		return w.resource, true
	}
	e, ok := w.actions[uid]
	return e, ok
}

// maxCallers bounds how many callers are remembered, some 1 KiB each.
const maxCallers = 4096

// callers remembers callers as entities: building one costs more than deciding
// with it, and most requests come from few callers. Everything an entity is
// built from is in its key, so that nothing remembered can be out of date.
type callers struct {
	mu    sync.RWMutex
	known map[string]cedar.Entity
}

func (c *callers) entity(who auth.Principal) cedar.Entity {
	key := callerKey(make([]byte, 0, 512), who)
	c.mu.RLock()
	e, ok := c.known[string(key)]
	c.mu.RUnlock()
	if ok {
		return e
	}
	e = newCaller(who)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxCallers {
		c.known = make(map[string]cedar.Entity)
	}
	c.known[string(key)] = e
	return e
}

// callerKey appends each part with its length before it: two callers never
// have the same key.
func callerKey(to []byte, who auth.Principal) []byte {
	part := func(s string) {
		to = binary.AppendUvarint(to, uint64(len(s)))
		to = append(to, s...)
	}
	to = append(to, byte(who.Family))
	part(string(who.User))
	part(string(who.Project))
	part(who.Domain)
	for _, r := range who.Roles {
		part(r)
	}
	return to
}

func newCaller(who auth.Principal) cedar.Entity {
	if who.Family == policy.Operator {
		return cedar.Entity{UID: cedar.NewEntityUID("Operator", cedar.String(who.User))}
	}
	roles := make([]cedar.EntityUID, len(who.Roles))
	for i, r := range who.Roles {
		roles[i] = cedar.NewEntityUID("Role", cedar.String(strings.ToLower(r)))
	}
	return cedar.Entity{
		UID:     user(string(who.User)),
		Parents: cedar.NewEntityUIDSet(roles...),
		Attributes: cedar.NewRecord(cedar.RecordMap{
			"project": cedar.String(who.Project),
			"domain":  cedar.String(who.Domain),
		}),
	}
}

func user(id string) cedar.EntityUID { return cedar.NewEntityUID("User", cedar.String(id)) }

// resourceOf is t as an entity. A kind that no rule can speak of is unknown.
func resourceOf(f policy.Family, t policy.Target) (cedar.Entity, bool) {
	if f == policy.Identity || f == policy.Operator {
		return cedar.Entity{
			UID:        cedar.NewEntityUID("Identity", cedar.String(t.ID)),
			Attributes: cedar.NewRecord(cedar.RecordMap{"kind": cedar.String(t.Kind)}),
		}, true
	}
	attributes := cedar.RecordMap{"project": cedar.String(t.Project)}
	var kind cedar.EntityType
	switch t.Kind {
	case "project":
		kind = "Project"
	case "key":
		kind = "Key"
	case "secret":
		kind = "Secret"
		readable(attributes, t)
	case "container":
		kind = "Container"
		readable(attributes, t)
	case "event":
		kind = "Event"
		attributes["name"] = cedar.String(t.Name)
	case "order":
		kind = "Order"
		owned(attributes, t)
	case "store":
		kind, attributes = "Store", nil
	case "transport-key":
		kind, attributes = "TransportKey", nil
	default:
		return cedar.Entity{}, false
	}
	return cedar.Entity{
		UID:        cedar.NewEntityUID(kind, cedar.String(t.ID)),
		Attributes: cedar.NewRecord(attributes),
	}, true
}

// readable adds what an ACL may say of.
func readable(attributes cedar.RecordMap, t policy.Target) {
	attributes["name"] = cedar.String(t.Name)
	attributes["private"] = cedar.Boolean(t.Private)
	attributes["readers"] = users(t.Readers)
	owned(attributes, t)
}

func owned(attributes cedar.RecordMap, t policy.Target) {
	if t.Owner != "" {
		attributes["owner"] = user(t.Owner)
	}
}

// users is a set of users. Nobody is called "", though a caller may be: one
// without authentication who names no user.
func users(ids []string) cedar.Set {
	var all []cedar.Value
	for _, id := range ids {
		if id != "" {
			all = append(all, user(id))
		}
	}
	return cedar.NewSet(all...)
}

func circumstances(who auth.Principal, t policy.Target) cedar.Record {
	m := cedar.RecordMap{"method": cedar.String(who.Method)}
	for name, value := range map[cedar.String]string{
		"credential": who.Credential, "key": t.Key, "version": t.Version, "stage": t.Stage,
	} {
		if value != "" {
			m[name] = cedar.String(value)
		}
	}
	if from, ok := address(who.From); ok {
		m["from"] = types.IPAddr(netip.PrefixFrom(from, from.BitLen()))
	}
	return cedar.NewRecord(m)
}

// address reads a remote address, with or without a port.
func address(from string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(from); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(from)
	return a.Unmap().WithZone(""), err == nil
}
