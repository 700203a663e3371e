package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/olekukonko/tablewriter"
	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/sensitive"
	"github.com/strongroom-kms/strongroom/telemetry"
)

// operator is what the commands about people share: the configuration of the
// server, and how to print. Whoever may read the database's password needs
// nobody's leave, but every change is recorded like any other.
type operator struct {
	config, output string
}

func (o *operator) flags(c *cobra.Command) {
	c.PersistentFlags().StringVar(&o.config, "config", "", "configuration of the server, YAML")
	c.PersistentFlags().StringVarP(&o.output, "output", "o", "table", "table or json")
}

// do runs f on the realm that the configuration names.
func (o *operator) do(c *cobra.Command, f func(ctx context.Context, r *realm.Service, who auth.Principal) error) error {
	return o.with(c, func(ctx context.Context, p *parts) error {
		return f(ctx, p.realm, realm.Operator())
	})
}

// with runs f on the parts that the configuration names.
func (o *operator) with(c *cobra.Command, f func(ctx context.Context, p *parts) error) (err error) {
	cfg, err := loadConfig(c, o.config)
	if err != nil {
		return err
	}
	// The server has the journal of its own for itself alone.
	cfg.Audit.Journal += ".operator"
	log, level, err := telemetry.NewLogger("warn", zapcore.AddSync(c.ErrOrStderr()))
	if err != nil {
		return err
	}
	p, err := assemble(c.Context(), cfg, log, level)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := p.realm.Bootstrap(c.Context()); err != nil {
		return err
	}
	return f(c.Context(), p)
}

// print writes rows under a header, or as a list of objects.
func (o *operator) print(w io.Writer, header []string, rows [][]string) error {
	switch o.output {
	case "json":
		list := make([]map[string]string, 0, len(rows))
		for _, row := range rows {
			object := map[string]string{}
			for i, name := range header {
				object[name] = row[i]
			}
			list = append(list, object)
		}
		return json.NewEncoder(w).Encode(list)
	case "table":
		t := tablewriter.NewWriter(w)
		t.Header(header)
		if err := t.Bulk(rows); err != nil {
			return err
		}
		return t.Render()
	}
	return usageError{fmt.Errorf("--output is table or json, not %q", o.output)}
}

// readPassword reads one from a file, from standard input for "-", or from the
// terminal. It is never an argument, which every user of the machine can read.
func readPassword(file string) (sensitive.Bytes, error) {
	var b []byte
	var err error
	switch {
	case file == "-":
		b, err = io.ReadAll(io.LimitReader(os.Stdin, 1<<16))
	case file != "":
		b, err = os.ReadFile(file)
	case term.IsTerminal(int(os.Stdin.Fd())):
		fmt.Fprint(os.Stderr, "Password: ")
		b, err = term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(os.Stderr)
	default:
		return sensitive.Bytes{}, usageError{errors.New("--password-file is missing")}
	}
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("read password: %w", err)
	}
	return sensitive.Take(bytes.TrimSuffix(b, []byte("\n"))), nil
}

// userNamed, projectNamed and roleNamed find what people call by name.
func userNamed(ctx context.Context, r *realm.Service, who auth.Principal, name string) (auth.User, error) {
	found, err := r.Users(ctx, who, realm.UserQuery{Name: name})
	return only(found, err, "user", name)
}

func projectNamed(ctx context.Context, r *realm.Service, who auth.Principal, name string) (auth.Project, error) {
	found, err := r.Projects(ctx, who, realm.ProjectQuery{Name: name})
	return only(found, err, "project", name)
}

func roleNamed(ctx context.Context, r *realm.Service, who auth.Principal, name string) (auth.Role, error) {
	found, err := r.Roles(ctx, who, name)
	return only(found, err, "role", name)
}

func only[T any](found []T, err error, what, name string) (T, error) {
	var none T
	switch {
	case err != nil:
		return none, err
	case len(found) != 1:
		return none, fmt.Errorf("there is no %s %q", what, name)
	}
	return found[0], nil
}
