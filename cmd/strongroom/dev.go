package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/configs"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/persistence/cluster"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/softhsm"
	"github.com/strongroom-kms/strongroom/telemetry"
)

// devRegion is the region of the Huawei samples, and of the catalog here.
const devRegion = "cn-north-4"

// devOptions are the flags of `strongroom dev`; each has a twin in the
// environment, STRONGROOM_DEV_DIR for --dir and so on (DESIGN §8).
type devOptions struct {
	dir, accounts, databaseURL, logLevel string
	keystoneURL, keystonePassword        string
	ephemeral, noAuth                    bool
	tokenGroups                          []string
	addr                                 map[string]*string // by listener
}

// devListeners are the listeners of `strongroom dev` and where they are.
var devListeners = []struct {
	name, address string
	dialect       configs.Dialect
}{
	{"identity", "127.0.0.1:9310", configs.DialectIdentity},
	{"key-manager", "127.0.0.1:9311", configs.DialectKeyManager},
	{"csms", "127.0.0.1:9312", configs.DialectCSMS},
	{"admin", "127.0.0.1:9319", configs.DialectAdmin},
	{"identity-tls", "127.0.0.1:9443", configs.DialectIdentity},
}

func devCommand() *cobra.Command {
	o := devOptions{addr: map[string]*string{}}
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine, to try it: protects nothing",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fromEnvironment(c.Flags(), os.Getenv); err != nil {
				return usageError{err}
			}
			return runDev(c.Context(), o, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&o.dir, "dir", defaultDevDir(), "state folder, kept")
	f.BoolVar(&o.ephemeral, "ephemeral", false, "keep no state: a folder that goes at the end")
	f.StringVar(&o.accounts, "accounts", "", "JSON file of roles, projects and users to load")
	f.StringVar(&o.databaseURL, "database-url", "", "an existing PostgreSQL database instead of a private server")
	f.StringSliceVar(&o.tokenGroups, "token-group", nil, "one more token, as a group of this name; may be repeated")
	f.BoolVar(&o.noAuth, "no-auth", false, "the key-manager listener believes X-Project-Id and asks for no token")
	f.StringVar(&o.keystoneURL, "keystone-url", "", "a Keystone that knows the callers, without /v3, in place of the built-in identity")
	f.StringVar(&o.keystonePassword, "keystone-password-file", "", "password of the user strongroom in the project service there")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	for _, l := range devListeners {
		o.addr[l.name] = f.String(l.name+"-addr", l.address, "address of the "+l.name+" listener; port 0 takes a free one")
	}
	return c
}

// fromEnvironment sets the flags that the command line did not.
func fromEnvironment(flags *pflag.FlagSet, getenv func(string) string) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "STRONGROOM_DEV_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value := getenv(name); value != "" && !f.Changed {
			if err := flags.Set(f.Name, value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	})
	return errors.Join(errs...)
}

// devServer is what `strongroom dev` has started.
type devServer struct {
	dir         string
	tls         throwaway
	groups      []configs.TokenGroup
	databaseURL string
	keystoneURL string // empty: the built-in identity knows the callers
	demo        realm.Persona
	projectID   auth.ProjectID
	sockets     map[string]net.Listener
}

// addr is where a client on this machine finds a listener.
func (d *devServer) addr(listener string) string { return reachable(d.sockets[listener].Addr()) }

// reachable is an address that a client can use, and that the throwaway
// certificate has: a socket that listens everywhere says so, and nowhere is
// that an address to connect to.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return a.String()
}

func runDev(ctx context.Context, o devOptions, out, errOut io.Writer) (err error) {
	log, level, err := telemetry.NewLogger(o.logLevel, zapcore.AddSync(errOut))
	if err != nil {
		return usageError{err}
	}
	d, closeDir, err := openDevDir(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDir()) }()

	d.databaseURL = o.databaseURL
	if d.databaseURL == "" {
		server, err := startPostgres(ctx, filepath.Join(d.dir, "postgres"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stopPostgres(server)) }()
		d.databaseURL = server.URL(devDatabase)
	}
	if _, err := postgres.Migrate(ctx, postgres.Config{URL: d.databaseURL}); err != nil {
		return err
	}
	if err := d.provision(ctx, key.DefaultGroup, "token"); err != nil {
		return err
	}
	for _, name := range o.tokenGroups {
		if err := d.provision(ctx, name, "token-"+filepath.Base(name)); err != nil {
			return err
		}
	}
	if d.tls, err = throwawayTLS(filepath.Join(d.dir, "tls"), time.Now()); err != nil {
		return err
	}
	defer d.unbind()
	cfg, err := d.config(o)
	if err != nil {
		return err
	}
	p, err := assemble(ctx, cfg, log, level)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	p.sockets = d.sockets
	if err := d.loadAccounts(ctx, p, o.accounts); err != nil {
		if o.databaseURL != "" && fault.KindOf(err) == fault.Unavailable {
			err = fmt.Errorf("%w (a database goes with the token that it was first used with: take the same --dir, or an empty database)", err)
		}
		return err
	}
	ready := filepath.Join(d.dir, "ready")
	defer func() { err = errors.Join(err, removeIfThere(ready)) }()
	return p.serve(ctx, func() (configs.Config, error) { return cfg, nil }, func() error {
		return d.announce(out, errOut, ready)
	})
}

// provision makes a token in a folder, as the only one of a group.
func (d *devServer) provision(ctx context.Context, group, folder string) error {
	token, err := softhsm.Provision(ctx, filepath.Join(d.dir, folder))
	if err != nil {
		return fmt.Errorf("provision SoftHSM2 token: %w", err)
	}
	d.groups = append(d.groups, configs.TokenGroup{Name: group, Tokens: []configs.Token{{
		URI: token.URI, Env: map[string]string{"SOFTHSM2_CONF": token.Conf}, Workers: 1,
	}}})
	return nil
}

const devDatabase = "strongroom"

func startPostgres(ctx context.Context, dir string) (*cluster.Cluster, error) {
	server, err := cluster.Start(ctx, cluster.Config{Dir: dir, Fsync: true})
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := server.CreateDatabase(ctx, devDatabase); err != nil {
		return nil, errors.Join(fmt.Errorf("make database: %w", err), stopPostgres(server))
	}
	return server, nil
}

func stopPostgres(server *cluster.Cluster) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return server.Stop(ctx)
}

// config is what an operator would have written for this folder.
func (d *devServer) config(o devOptions) (configs.Config, error) {
	cfg, err := configs.Defaults()
	if err != nil {
		return cfg, err
	}
	cfg.Dev = true
	cfg.Jobs.PurgeEvery = 5 * time.Second // so that whoever tries it sees it
	listener := cfg.Listeners[0]          // for its timeouts
	cfg.Listeners = nil
	url := map[string]string{}
	for _, l := range devListeners {
		if err := d.bind(l.name, *o.addr[l.name]); err != nil {
			return cfg, fmt.Errorf("--%s-addr: %w", l.name, err)
		}
		url[l.name] = "http://" + d.addr(l.name)
		listener.Name, listener.Address, listener.Dialects = l.name, d.sockets[l.name].Addr().String(), []configs.Dialect{l.dialect}
		listener.TLS = configs.TLS{}
		if l.name == "identity-tls" {
			listener.TLS = configs.TLS{CertFile: d.tls.cert, KeyFile: d.tls.key}
		}
		cfg.Listeners = append(cfg.Listeners, listener)
	}
	cfg.Database.URL = d.databaseURL
	cfg.HSM.Groups, cfg.HSM.DefaultGroup = d.groups, key.DefaultGroup
	cfg.Barbican.MultipleSecretStores = len(d.groups) > 1
	cfg.Barbican.HostHref = url["key-manager"]
	cfg.Barbican.NoAuth = o.noAuth
	cfg.Identity.Region = devRegion
	cfg.Identity.Endpoints = configs.Endpoints{
		KeyManager: url["key-manager"], CSMS: url["csms"], Identity: url["identity"],
	}
	if o.keystoneURL != "" {
		cfg.Identity.Mode = configs.ByKeystone
		ks := &cfg.Identity.Keystone
		ks.URL, ks.Username, ks.PasswordFile = o.keystoneURL, "strongroom", o.keystonePassword
		if _, err := ks.Password(); err != nil {
			return cfg, usageError{fmt.Errorf("--keystone-password-file: %w", err)}
		}
		d.keystoneURL = o.keystoneURL
	} else if o.keystonePassword != "" {
		return cfg, usageError{errors.New("--keystone-password-file: goes with --keystone-url")}
	}
	cfg.Audit.Journal = filepath.Join(d.dir, "audit.journal")
	cfg.Log.Level = o.logLevel
	cfg.FillIn()
	if err := cfg.Validate(); err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

// bind binds one listener now: the catalog has to name its address before it
// serves, and port 0 means any that is free.
func (d *devServer) bind(name, address string) error {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	d.sockets[name] = socket
	return nil
}

// unbind closes the sockets that nothing serves: those that serve are closed
// already.
func (d *devServer) unbind() {
	for _, s := range d.sockets {
		_ = s.Close()
	}
}

// announce says that everything answers, and what to try.
func (d *devServer) announce(out, errOut io.Writer, ready string) error {
	env := filepath.Join(d.dir, "env.sh")
	if err := writeEnv(env, d.variables()); err != nil {
		return err
	}
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		return err
	}
	who := ""
	if d.keystoneURL != "" {
		who = whoInKeystone
	}
	fmt.Fprintf(errOut, banner, d.dir, env, who)
	_, err := fmt.Fprintln(out, "ready")
	return err
}

const whoInKeystone = "    export OS_USERNAME=… OS_PASSWORD=… OS_PROJECT_NAME=…    # somebody whom Keystone knows\n"

const banner = `
  strongroom dev: for trying things out. IT PROTECTS NOTHING: the token is
  software, its PIN and every password are in %[1]s.

  In another terminal:

    source %[2]s
%[3]s    openstack secret store --name hello --payload 'hello, world'
    openstack secret list

`
