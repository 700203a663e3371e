package rotation

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/strongroom-kms/strongroom/sensitive"
)

// Text that is JSON stays as it is, so single quotes can break nothing that
// the documents promise; and reading any text twice is reading it once.
func FuzzQuotes(f *testing.F) {
	for _, s := range []string{
		`{"InstanceId":"i","SecretSubType":"SingleUser"}`, `{'rds_instance_id':'i','Secret_sub_type':'MultiUser'}`,
		`{'a':'it\'s "x" \\ \n'}`, `{"a":"it's"}`, `{'a':"b'c"}`, `'`, `"\`, `{'a':'\`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := doubleQuoted(s)
		if json.Valid([]byte(s)) && once != s {
			t.Errorf("JSON %q became %q", s, once)
		}
		if a, ok := LooseObject(s); ok {
			if b, ok := LooseObject(once); !ok || !reflect.DeepEqual(a, b) {
				t.Errorf("%q reads as %v, then as %v", s, a, b)
			}
		}
	})
}

func TestRenewKeepsTheRest(t *testing.T) {
	const fresh = `n"e\w`
	for _, tc := range []struct {
		name, text, want string
		multi            bool
	}{
		{"one user", `{"users":[{"name":"a","password":"old"}]}`, `{"users":[{"name":"a","password":"n\"e\\w"}]}`, false},
		{
			"other members, their order and numbers",
			`{ "engine":"pg", "port":5432.10, "users" : [ {"name":"a","host":"h","password":"old","x":[1]} ], "z":{"password":"keep"} }`,
			`{ "engine":"pg", "port":5432.10, "users" : [{"name":"a","host":"h","password":"n\"e\\w","x":[1]}], "z":{"password":"keep"} }`, false,
		},
		{"single quotes", `{'users':[{'name':'a','password':'o\'ld'}],'x':'y'}`, `{"users":[{"name":"a","password":"n\"e\\w"}],"x":"y"}`, false},
		{"the first of two", `{"users":[{"name":"a","password":"p"},{"name":"b","password":"q"}]}`, `{"users":[{"name":"a","password":"n\"e\\w"},{"name":"b","password":"q"}]}`, false},
		{"taking turns", `{"users":[{"name":"a","password":"p"},{"name":"b","password":"q"}]}`, `{"users":[{"name":"b","password":"n\"e\\w"},{"name":"a","password":"p"}]}`, true},
		{"the last of several", `{"users":[],"users":[{"name":"a","password":"x","password":"y"}]}`, `{"users":[],"users":[{"name":"a","password":"x","password":"n\"e\\w"}]}`, false},
		{"no users", `{"users":[]}`, "", false},
		{"one where two take turns", `{"users":[{"name":"a","password":"p"}]}`, "", true},
		{"three", `{"users":[{"name":"a","password":"p"},{"name":"b","password":"p"},{"name":"c","password":"p"}]}`, "", false},
		{"no password", `{"users":[{"name":"a"}]}`, "", false},
		{"no object", `[1]`, "", false},
		{"something behind it", `{"users":[{"name":"a","password":"p"}]} x`, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := renew(sensitive.Take([]byte(tc.text)), Config{MultiUser: tc.multi}, sensitive.Take([]byte(fresh)))
			if (err != nil) != (tc.want == "") || string(got.Reveal()) != tc.want {
				t.Errorf("%s, %v; want %s", got.Reveal(), err, tc.want)
			}
		})
	}
}

// What can be renewed at all reads as the same value, but for one password.
func FuzzRenew(f *testing.F) {
	f.Add(`{"users":[{"name":"a","password":"old"}],"n":[1]}`, "new", false)
	f.Add(`{'users':[{'name':'a','password':'old'},{'name':'b','password':'x'}]}`, "\u2028<", true)
	f.Fuzz(func(t *testing.T, text, password string, multi bool) {
		out, err := renew(sensitive.Take([]byte(text)), Config{MultiUser: multi}, sensitive.Take([]byte(password)))
		if err != nil {
			return
		}
		before, _ := LooseObject(text)
		after, ok := LooseObject(string(out.Reveal()))
		if !ok {
			t.Fatalf("%q became %q", text, out.Reveal())
		}
		users := func(m map[string]any, i int) map[string]any {
			return m["users"].([]any)[i].(map[string]any)
		}
		was := users(before, changing(multi))
		was["password"] = users(after, 0)["password"]
		if !reflect.DeepEqual(was, users(after, 0)) {
			t.Errorf("%q became %q", text, out.Reveal())
		}
		delete(before, "users")
		delete(after, "users")
		if !reflect.DeepEqual(before, after) {
			t.Errorf("%q became %q", text, out.Reveal())
		}
	})
}
