package arch_test

import (
	"slices"
	"strings"
	"testing"
)

// domain packages may import each other and the standard library. They never
// see a transport, SQL, PKCS#11 or a library of others.
var domain = []string{
	"secret", "secretstore", "container", "order", "cmk", "kek", "kek/envelope", "policy", "auth", "auth/realm", "audit", "gate", "tenant", "quota", "event", "rotation", "transport", "hsm/key", "fault", "sensitive",
}

// leaves may be imported where the folder above them may not.
var leaves = []string{"kek/envelope", "hsm/key", "fault", "sensitive"}

// adapters lie in their subject's folder, and are not part of it.
var adapters = []string{"policy/cedar", "audit/journal", "auth/password", "auth/keystone", "order/keypair", "rotation/pgtarget", "rotation/mysqltarget"}

// outward are packages of the standard library that talk to the outside.
var outward = []string{"net/http", "database/sql", "os", "os/exec", "net", "syscall", "unsafe", "C", "plugin"}

// forbidden says which packages each package must not reach, not even through
// another package. A name covers the folders below it, except the leaves.
var forbidden = map[string][]string{
	"api/barbican":         {"persistence", "hsm", "kek", "api/csms", "api/identity", "api/admin"},
	"api/csms":             {"persistence", "hsm", "kek", "api/barbican", "api/identity", "api/admin"},
	"api/identity":         {"persistence", "hsm", "kek", "api/barbican", "api/csms", "api/admin"},
	"api/admin":            {"persistence", "hsm", "kek", "secret", "cmk"},
	"api/aksk":             {"persistence", "hsm", "kek", "secret", "cmk"},
	"api/wire":             {"secret", "cmk", "kek", "persistence", "hsm"},
	"api":                  {"persistence", "hsm", "cmd", "softhsm", "configs", "telemetry", "policy/cedar", "audit/journal", "auth/password", "auth/keystone"},
	"kek":                  {"secret", "cmk", "audit", "policy", "auth", "hsm"},
	"secret":               {"kek", "hsm", "persistence", "api", "container"},
	"secretstore":          {"secret", "container", "cmk", "kek", "hsm", "persistence", "api"},
	"container":            {"kek", "hsm", "persistence", "api"},
	"rotation":             {"kek", "hsm", "persistence", "api"},
	"rotation/pgtarget":    {"kek", "hsm", "persistence", "api", "configs", "telemetry", "rotation/mysqltarget"},
	"rotation/mysqltarget": {"kek", "hsm", "persistence", "api", "configs", "telemetry", "rotation/pgtarget"},
	"cmk":                  {"kek", "hsm", "persistence", "api"},
	"order":                {"kek", "hsm", "persistence", "api", "crypto/rsa", "crypto/x509"},
	"order/keypair":        {"kek", "hsm", "persistence", "api", "policy/cedar", "audit/journal", "auth/password", "auth/keystone", "net/http", "database/sql"},
	"auth":                 {"secret", "cmk", "kek", "hsm", "persistence", "api"},
	"policy":               {"secret", "cmk", "kek", "hsm", "auth", "audit", "persistence", "api"},
	"tenant":               {"secret", "cmk", "kek", "hsm", "persistence", "api"},
	"event":                {"secret", "container", "cmk", "kek", "hsm", "persistence", "api"},
	"gate":                 {"secret", "cmk", "kek", "hsm", "persistence", "api"},
	"transport":            {"secret", "cmk", "kek", "hsm", "persistence", "api"},
	"quota":                {"secret", "cmk", "kek", "hsm", "persistence", "api"},
	"audit":                {"secret", "cmk", "kek", "hsm", "persistence", "api"},
	"auth/password":        {"secret", "cmk", "kek", "hsm", "persistence", "api", "auth/realm", "policy/cedar", "audit/journal", "net/http", "database/sql"},
	"auth/keystone":        {"secret", "cmk", "kek", "hsm", "persistence", "api", "auth/realm", "auth/password", "audit", "policy/cedar", "configs", "telemetry", "database/sql", "os"},
	"event/deliver":        {"secret", "container", "cmk", "kek", "hsm", "persistence", "api", "policy/cedar", "audit/journal", "configs", "telemetry", "database/sql", "os"},
	"policy/cedar":         {"secret", "cmk", "kek", "hsm", "persistence", "api", "auth/realm", "auth/password", "audit", "net/http", "database/sql"},
	"audit/journal":        {"secret", "cmk", "kek", "hsm", "persistence", "api", "auth/realm", "auth/password", "policy/cedar", "net/http", "database/sql"},
	"persistence":          {"configs", "telemetry", "policy/cedar", "audit/journal", "auth/password", "auth/keystone"},
	"persistence/postgres": {"api", "hsm", "net/http", "persistence/memory", "persistence/cluster"},
	"persistence/memory":   {"api", "hsm", "net/http", "database/sql", "persistence/postgres"},
	"persistence/cluster":  {"api", "hsm", "secret", "cmk", "kek", "auth", "net/http"},
	"hsm":                  {"api", "persistence", "secret", "cmk", "kek", "auth", "policy", "audit", "softhsm", "configs", "telemetry", "net/http", "database/sql"},
	"softhsm":              {"api", "persistence", "secret", "cmk", "kek", "auth", "policy", "audit", "configs", "telemetry", "net/http", "database/sql"},
	"jobs":                 {"api", "persistence", "hsm", "secret", "cmk", "kek"},
	"telemetry":            {"api", "persistence", "hsm", "secret", "cmk", "kek", "auth"},
	"configs":              {"api", "persistence", "hsm", "secret", "cmk", "kek", "auth", "net/http"},
	"cmd/strongroom":       {"hsm/worker", "hsm/serve", "testing", "persistence/memory"},
	"cmd/strongroom-hsm":   {"api", "persistence", "secret", "cmk", "kek", "auth", "policy", "audit", "softhsm", "configs", "telemetry", "net/http", "database/sql", "testing"},
}

// onlyIn says who alone may import a package, tests aside. Subfolders are
// meant, too.
var onlyIn = map[string][]string{
	"github.com/miekg/pkcs11":         {"hsm/worker"},
	"github.com/ThalesGroup/crypto11": {"hsm/worker"},
	"github.com/lib/pq":               {"persistence", "rotation/pgtarget", "bench"}, // bench: a floor to compare with
	"github.com/xdg-go/scram":         {"rotation/pgtarget"},
	"github.com/go-sql-driver":        {"rotation/mysqltarget"},
	"github.com/gorilla/mux":          {"api"},
	"github.com/cedar-policy":         {"policy/cedar"},
	"github.com/spf13/cobra":          {"cmd"},
	"github.com/prometheus":           {"telemetry", "cmd/strongroom"},
	"github.com/pressly/goose":        {"persistence/migrations"},
	"github.com/huandu":               {"persistence/postgres"},
	"github.com/alexedwards/argon2id": {"auth/password"},
	"github.com/gophercloud":          {"auth/keystone"},
	"github.com/cloudevents":          {"event/deliver"},
	"github.com/standard-webhooks":    {"event/deliver"},
	"github.com/nats-io":              {"event/deliver"},
	"github.com/maypok86/otter":       {"auth/keystone"},
	"database/sql":                    {"persistence", "rotation/pgtarget", "rotation/mysqltarget", "bench"},
	"crypto/aes":                      {"kek", "order/keypair", "hsm/internal/blob", "hsm/worker/fakecki", "bench"},
	"crypto/cipher":                   {"kek", "order/keypair", "hsm/internal/blob", "hsm/worker/fakecki", "bench"},
	"math/rand":                       {"hsm", "event", "bench"}, // jitter and load, nothing that anybody could gain from guessing
	"os/exec":                         {"hsm", "softhsm", "persistence/cluster", "bench"},
	"unsafe":                          {"hsm/worker"},
	"C":                               {"hsm/worker"},
	"hsm/worker":                      {"cmd/strongroom-hsm", "bench"},
	"hsm/serve":                       {"cmd/strongroom-hsm", "bench"},
	"softhsm":                         {"cmd/strongroom", "bench"},
	"configs":                         {"cmd"},
}

// later are packages that the tables know and the tree does not have yet.
var later = []string{"cmk"}

func TestDomainKnowsOnlyItself(t *testing.T) {
	t.Parallel()
	g := graph(t)
	for _, from := range domain {
		for _, to := range g.imports[from] {
			switch {
			case slices.Contains(domain, to):
			case g.ours(to):
				t.Errorf("%s is domain and imports %s, which is not", from, to)
			case strings.Contains(to, "."):
				t.Errorf("%s is domain and imports %s: it knows the standard library and nothing around it", from, to)
			case slices.Contains(outward, to):
				t.Errorf("%s is domain and imports %s: it does no I/O of its own", from, to)
			}
		}
	}
}

func TestForbiddenIsOutOfReach(t *testing.T) {
	t.Parallel()
	g := graph(t)
	for from, targets := range forbidden {
		for _, start := range g.below(from) {
			if start != from && slices.Contains(adapters, start) {
				continue
			}
			for _, target := range targets {
				if within(start, target) {
					continue // hsm/worker is below hsm
				}
				if path := g.path(start, func(p string) bool { return within(p, target) }); path != nil {
					t.Errorf("%s reaches %s: %s", start, target, strings.Join(path, " imports "))
				}
			}
		}
	}
}

// within reports whether p is the named package or below it, and no leaf.
func within(p, name string) bool {
	if p != name && slices.Contains(leaves, p) {
		return false
	}
	return p == name || strings.HasPrefix(p, name+"/")
}

func TestOnlyTheirOwnersImport(t *testing.T) {
	t.Parallel()
	g := graph(t)
	for target, owners := range onlyIn {
		for from, imports := range g.imports {
			if below(from, target) || slices.ContainsFunc(owners, func(o string) bool { return below(from, o) }) {
				continue
			}
			for _, p := range imports {
				if below(p, target) && !strings.HasSuffix(p, "test") && !forTests(from) {
					t.Errorf("%s imports %s, which only %s may", from, p, strings.Join(owners, " and "))
				}
			}
		}
	}
}

func below(p, name string) bool { return p == name || strings.HasPrefix(p, name+"/") }

// forTests tells packages that exist for tests: a contract suite, a fixture,
// whole requests.
func forTests(p string) bool {
	return strings.HasSuffix(p, "test") || below(p, "e2e") || below(p, "conformance") || below(p, "bench") || below(p, "arch")
}

// A helper file without _test in its name would link package testing, and its
// flags, into the product.
func TestTestingStaysInTests(t *testing.T) {
	t.Parallel()
	for from, imports := range graph(t).imports {
		if slices.Contains(imports, "testing") && !forTests(from) {
			t.Errorf("%s imports testing outside of its tests: move the fixture to a package …test", from)
		}
	}
}

// A misspelt name in a table would forbid nothing.
func TestTablesNamePackagesThatExist(t *testing.T) {
	t.Parallel()
	g := graph(t)
	requires := read(t, "go.mod")
	standard := standardLibrary(t)
	known := func(name string) {
		switch there := len(g.below(name)) > 0; {
		case strings.Contains(name, "."):
			if !strings.Contains(requires, "\t"+name) {
				t.Errorf("the tables name %s, which go.mod does not require", name)
			}
		case standard[name], name == "C":
		case slices.Contains(later, name):
			if there {
				t.Errorf("%s exists now: take it off the list of later ones", name)
			}
		case !there:
			t.Errorf("the tables name %s, which does not exist", name)
		}
	}
	for _, name := range slices.Concat(domain, leaves, adapters, outward) {
		known(name)
	}
	for _, table := range []map[string][]string{forbidden, onlyIn} {
		for name, others := range table {
			known(name)
			for _, other := range others {
				known(other)
			}
		}
	}
}

func standardLibrary(t *testing.T) map[string]bool {
	t.Helper()
	out, err := goList("0", "std")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for name := range strings.FieldsSeq(string(out)) {
		all[name] = true
	}
	return all
}

// Every package says what it is for.
func TestEveryPackageHasAComment(t *testing.T) {
	t.Parallel()
	for p, doc := range graph(t).doc {
		if doc == "" {
			t.Errorf("%s has no package comment", p)
		}
	}
}
