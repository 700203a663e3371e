package hsm

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	pkcs11uri "github.com/stefanberger/go-pkcs11uri"

	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
)

// attributes is what a token's URI may say (RFC 7512, pkcs11.md §8.1). The
// parser accepts any name, and an ignored attribute is a mistake nobody sees;
// so everything else is refused, with a reason where there is one.
var attributes = map[string]string{
	"token": "", "serial": "", "model": "",
	"module-path": "", "module-name": "", "pin-source": "",

	"pin-value":            "a PIN does not belong into a configuration; use pin-source",
	"slot-id":              "slot numbers change; use token or serial",
	"object":               "names an object, not a token",
	"id":                   "names an object, not a token",
	"type":                 "names an object, not a token",
	"manufacturer":         "is not supported; use token, serial or model",
	"library-description":  "is not supported; use module-path",
	"library-manufacturer": "is not supported; use module-path",
	"library-version":      "is not supported; use module-path",
	"slot-description":     "is not supported; use token or serial",
	"slot-manufacturer":    "is not supported; use token or serial",
}

// fromURI adds what uri says to s. Saying a thing twice is refused: one of the
// two would be ignored.
func fromURI(s *frame.Settings, uri string) error {
	if err := known(uri); err != nil {
		return err
	}
	u := pkcs11uri.New()
	if err := u.Parse(uri); err != nil {
		// The parser quotes its input, which may hold a PIN that somebody
		// misplaced.
		return errors.New("the URI is malformed: percent-encode reserved characters, name each attribute once")
	}
	path := func(name string) string { v, _ := u.GetPathAttribute(name, false); return v }
	query := func(name string) string { v, _ := u.GetQueryAttribute(name, false); return v }

	pin, err := pinFile(query("pin-source"))
	if err != nil {
		return err
	}
	module := query("module-path")
	if module == "" && query("module-name") != "" {
		u.SetAllowAnyModule(true) // the allow-list comes later, for every way to name a module
		if module, err = u.GetModule(); err != nil {
			return fmt.Errorf("module-name: %w", err)
		}
	}
	for _, f := range []struct {
		name string
		dst  *string
		v    string
	}{
		{"token", &s.Label, path("token")}, {"serial", &s.Serial, path("serial")}, {"model", &s.Model, path("model")},
		{"module-path", &s.Module, module}, {"pin-source", &s.PINFile, pin},
	} {
		if f.v != "" && *f.dst != "" {
			return fmt.Errorf("%s is in the URI and in a field of its own", f.name)
		}
		if f.v != "" {
			*f.dst = f.v
		}
	}
	return nil
}

// known checks the names of all attributes. It never shows a value.
func known(uri string) error {
	rest, ok := strings.CutPrefix(uri, "pkcs11:")
	if !ok {
		return errors.New("the URI does not begin with pkcs11:")
	}
	path, query, _ := strings.Cut(rest, "?")
	parts := append(strings.Split(path, ";"), strings.Split(query, "&")...)
	for _, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		if part == "" {
			continue
		}
		why, ok := attributes[name]
		if !ok {
			return errors.New("the URI has an attribute that RFC 7512 does not know")
		}
		if why != "" {
			return fmt.Errorf("attribute %s of the URI: %s", name, why)
		}
		if first, err := url.PathUnescape(value); name == "module-path" && err == nil && !strings.HasPrefix(first, "/") {
			return errors.New("module-path of the URI: give an absolute path; a bare name would be looked up by the loader")
		}
	}
	return nil
}

// pinFile reads pin-source: a path or a file: URI, nothing that is run.
func pinFile(source string) (string, error) {
	path := strings.TrimPrefix(source, "file:")
	path = strings.TrimPrefix(path, "//") // file:///path
	if path != "" && !strings.HasPrefix(path, "/") {
		return "", errors.New("pin-source must be an absolute path or a file: URI")
	}
	return path, nil
}
