package e2e

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/containers"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/orders"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/secrets"
)

// ended waits until an order is done.
func ended(t *testing.T, client *gophercloud.ServiceClient, id string) *orders.Order {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		o, err := orders.Get(t.Context(), client, id).Extract()
		if err != nil {
			t.Fatal(err)
		}
		if o.Status != "PENDING" {
			return o
		}
	}
	t.Fatal("the order does not end")
	return nil
}

func TestGophercloudOrders(t *testing.T) {
	s, ctx := server(t), t.Context()
	client := gopher(t, s, s.Env["OS_USERNAME"], s.Env["OS_PASSWORD"], s.Env["OS_PROJECT_NAME"])
	expiration := time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC)
	made, err := orders.Create(ctx, client, orders.CreateOpts{Type: orders.KeyOrder, Meta: orders.MetaOpts{
		Algorithm: "aes", BitLength: 256, Mode: "cbc", Name: "gopher", Expiration: &expiration,
	}}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	id := last(made.OrderRef)
	o := ended(t, client, id)
	if o.Status != "ACTIVE" || o.Type != "key" || o.OrderRef != made.OrderRef || o.ContainerRef != "" || o.CreatorID == "" ||
		o.Created.IsZero() || o.Updated.IsZero() || o.Meta.Algorithm != "aes" || o.Meta.BitLength != 256 || o.Meta.Mode != "cbc" ||
		o.Meta.Name != "gopher" || !o.Meta.Expiration.Equal(expiration) {
		t.Errorf("order read back as %+v", o)
	}
	key, err := secrets.Get(ctx, client, last(o.SecretRef)).Extract()
	if err != nil {
		t.Fatal(err)
	}
	if key.Name != "gopher" || key.SecretType != "symmetric" || key.Algorithm != "aes" || key.BitLength != 256 || !key.Expiration.Equal(expiration) {
		t.Errorf("key read back as %+v", key)
	}
	if n := len(gopherPayload(t, client, o.SecretRef)); n != 32 {
		t.Errorf("a key of %d bytes", n)
	}

	// This client leaves mode empty and the content type out.
	made, err = orders.Create(ctx, client, orders.CreateOpts{Type: orders.AsymmetricOrder, Meta: orders.MetaOpts{Algorithm: "rsa", BitLength: 2048}}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	o = ended(t, client, last(made.OrderRef))
	if o.Status != "ACTIVE" || o.SecretRef != "" || o.ContainerRef == "" {
		t.Fatalf("pair read back as %+v", o)
	}
	gopherPair(t, client, o.ContainerRef)

	pages, err := orders.List(client, orders.ListOpts{Limit: 1}).AllPages(ctx)
	if err != nil {
		t.Fatal(err)
	}
	all, err := orders.ExtractOrders(pages)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, o := range all {
		found[last(o.OrderRef)]++
	}
	if found[id] != 1 || found[last(made.OrderRef)] != 1 {
		t.Errorf("listed page by page: %v", found)
	}
	for _, id := range []string{id, last(made.OrderRef)} {
		if err := orders.Delete(ctx, client, id).ExtractErr(); err != nil {
			t.Error(err)
		}
		if err := orders.Get(ctx, client, id).Err; !gophercloud.ResponseCodeIs(err, 404) {
			t.Errorf("after the delete: %v", err)
		}
	}
	if err := secrets.Get(ctx, client, last(key.SecretRef)).Err; err != nil {
		t.Errorf("the key went with its order: %v", err)
	}
}

// gopherPayload reads a payload as the bytes that were stored.
func gopherPayload(t *testing.T, client *gophercloud.ServiceClient, ref string) []byte {
	t.Helper()
	b, err := secrets.GetPayload(t.Context(), client, last(ref), secrets.GetPayloadOpts{PayloadContentType: "application/octet-stream"}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// gopherPair checks that a container holds two halves of one RSA key.
func gopherPair(t *testing.T, client *gophercloud.ServiceClient, ref string) {
	t.Helper()
	c, err := containers.Get(t.Context(), client, last(ref)).Extract()
	if err != nil {
		t.Fatal(err)
	}
	der := map[string][]byte{}
	for _, part := range c.SecretRefs {
		if block, _ := pem.Decode(gopherPayload(t, client, part.SecretRef)); block != nil {
			der[part.Name] = block.Bytes
		}
	}
	private, err := x509.ParsePKCS8PrivateKey(der["private_key"])
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(der["public_key"])
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := private.(*rsa.PrivateKey); !ok || key.N.BitLen() != 2048 || !key.PublicKey.Equal(public) {
		t.Error("two halves of different keys")
	}
	if c.Type != "rsa" || len(c.SecretRefs) != 2 {
		t.Errorf("container %+v", c)
	}
}
