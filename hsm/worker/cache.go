package worker

import (
	"sync"

	"github.com/strongroom-kms/strongroom/hsm/key"
)

// cache remembers the KEKs that this process has used. Handles are good for the
// process and all its sessions; without them every operation would search the
// token, which takes milliseconds where there are thousands of keys
// (pkcs11.md §5.3).
type cache struct {
	mu   sync.RWMutex
	keks map[key.ID]known
}

type known struct {
	handles
	canary key.Canary
	stale  bool // the token refused the handles; that the key was here once still counts
}

func newCache() *cache { return &cache{keks: map[key.ID]known{}} }

// handles returns what a KEK of format f needs.
func (c *cache) handles(id key.ID, f key.Format) (handles, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k, ok := c.keks[id]
	if !ok || k.stale || (f == key.A256CBCHS256 && k.mac == 0) {
		return handles{}, false
	}
	return k.handles, true
}

func (c *cache) put(kek key.Ref, h handles) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keks[kek.ID] = known{handles: h, canary: kek.Canary}
}

// refuse marks handles that the token does not take any more.
func (c *cache) refuse(id key.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.keks[id]; ok {
		k.stale = true
		c.keks[id] = k
	}
}

func (c *cache) forget(id key.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.keks, id)
}

func (c *cache) knows(id key.ID) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.keks[id]
	return ok
}

// another returns some other KEK whose canary can show that the token works,
// one in good standing if there is any. Format Auto means any format.
func (c *cache) another(than key.ID, f key.Format) (found key.Ref, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for id, k := range c.keks {
		if id == than || len(k.canary.Wrapped) == 0 || (f != key.Auto && key.Format(k.canary.Wrapped[0]) != f) {
			continue
		}
		found, ok = key.Ref{ID: id, Format: key.Format(k.canary.Wrapped[0]), Canary: k.canary}, true
		if !k.stale {
			return found, ok
		}
	}
	return found, ok
}
