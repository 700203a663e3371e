// Command floor is what a secret store cannot be cheaper than: a bare HTTP
// handler that does one statement, one call of the token and one AES-GCM. It
// checks nothing, records nothing and keeps no rule. bench/load quotes the
// product's cost as a ratio to it.
package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	_ "github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker"
	"github.com/strongroom-kms/strongroom/sensitive"
	"github.com/strongroom-kms/strongroom/softhsm"
)

func main() {
	url := flag.String("database-url", "", "a PostgreSQL database; a table bench_floor is made in it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *url); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url string) (err error) {
	f, err := prepare(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /read", f.read)
	mux.HandleFunc("POST /create", f.create)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Println("http://" + socket.Addr().String())
	if err := server.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type floor struct {
	db             *sql.DB
	selects, write *sql.Stmt
	token          *worker.Token
	kek            key.Ref
	dir            string
	id             int64
}

var aad = []byte(strings.Repeat("a", 150)) // as long as the product's

func prepare(ctx context.Context, url string) (*floor, error) {
	dir, err := os.MkdirTemp("/dev/shm", "strongroom-floor-")
	if err != nil {
		return nil, err
	}
	f := &floor{dir: dir}
	soft, err := softhsm.Provision(ctx, dir)
	if err != nil {
		return nil, err
	}
	for _, v := range soft.Env {
		name, value, _ := strings.Cut(v, "=")
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	f.token, err = worker.Open(ctx, worker.Config{
		Module: soft.Module, Token: worker.TokenMatch{Serial: soft.Serial}, PIN: worker.PINSource{File: soft.PINFile},
	})
	if err != nil {
		return nil, err
	}
	made, err := f.token.Generate(ctx, key.Spec{ID: key.ID{1}, Label: "floor", CanaryAAD: aad})
	if err != nil {
		return nil, err
	}
	f.kek = made.Ref
	return f, f.open(ctx, url)
}

func (f *floor) open(ctx context.Context, url string) (err error) {
	if f.db, err = sql.Open("postgres", url); err != nil {
		return err
	}
	f.db.SetMaxIdleConns(16)
	if _, err = f.db.ExecContext(ctx, `
		DROP TABLE IF EXISTS bench_floor;
		CREATE TABLE bench_floor (id bigserial PRIMARY KEY, wrapped bytea NOT NULL, body bytea NOT NULL);
		ALTER TABLE bench_floor ALTER COLUMN body SET STORAGE EXTERNAL`); err != nil {
		return err
	}
	if f.selects, err = f.db.PrepareContext(ctx, `SELECT wrapped, body FROM bench_floor WHERE id = $1`); err != nil {
		return err
	}
	if f.write, err = f.db.PrepareContext(ctx, `INSERT INTO bench_floor (wrapped, body) VALUES ($1, $2) RETURNING id`); err != nil {
		return err
	}
	f.id, err = f.store(ctx, []byte(strings.Repeat("x", 1024)))
	return err
}

func (f *floor) close() error {
	_, err := f.db.Exec(`DROP TABLE bench_floor`)
	return errors.Join(err, f.db.Close(), f.token.Close(), os.RemoveAll(f.dir))
}

func aead(dek []byte) cipher.AEAD {
	block, err := aes.NewCipher(dek)
	if err != nil {
		panic(err) // the key is always 32 bytes
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return a
}

func (f *floor) read(w http.ResponseWriter, r *http.Request) {
	var wrapped, body []byte
	if err := f.selects.QueryRowContext(r.Context(), f.id).Scan(&wrapped, &body); err != nil {
		http.Error(w, "select", http.StatusInternalServerError)
		return
	}
	dek, err := f.token.Unwrap(r.Context(), f.kek, wrapped, aad)
	if err != nil {
		http.Error(w, "unwrap", http.StatusInternalServerError)
		return
	}
	payload, err := aead(dek.Reveal()).Open(nil, nil, body, aad)
	if err != nil {
		http.Error(w, "open", http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(payload)
}

func (f *floor) create(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err == nil {
		_, err = f.store(r.Context(), payload)
	}
	if err != nil {
		http.Error(w, "store", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (f *floor) store(ctx context.Context, payload []byte) (id int64, err error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	wrapped, err := f.token.Wrap(ctx, f.kek, sensitive.Take(key), aad)
	if err != nil {
		return 0, err
	}
	err = f.write.QueryRowContext(ctx, wrapped, aead(key).Seal(nil, nil, payload, aad)).Scan(&id)
	return id, err
}
