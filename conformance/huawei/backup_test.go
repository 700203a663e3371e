package huawei

import (
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/csms/v1/model"
)

// A secret is taken away, deleted and brought back with all its versions.
func TestBackupAndRestore(t *testing.T) {
	c := client(t)
	name := fresh(t, c, "conformance-backup")
	text := "first"
	created, err := c.CreateSecret(&model.CreateSecretRequest{Body: &model.CreateSecretRequestBody{Name: name, SecretString: &text}})
	if err != nil {
		t.Fatal(err)
	}
	second := "second"
	if _, err := c.CreateSecretVersion(&model.CreateSecretVersionRequest{SecretName: name,
		Body: &model.CreateSecretVersionRequestBody{SecretString: &second}}); err != nil {
		t.Fatal(err)
	}
	taken, err := c.DownloadSecretBlob(&model.DownloadSecretBlobRequest{SecretName: name})
	if err != nil {
		t.Fatal(err)
	}
	blob := *taken.SecretBlob
	if !strings.HasPrefix(blob, ")CloudSecretManagementBackupV1.com") || taken.HttpStatusCode != 200 {
		t.Errorf("%d, blob %.60s", taken.HttpStatusCode, blob)
	}
	restore := func(blob string) (*model.UploadSecretBlobResponse, error) {
		return c.UploadSecretBlob(&model.UploadSecretBlobRequest{Body: &model.UploadSecretBlobRequestBody{SecretBlob: blob}})
	}
	_, err = restore(blob)
	wantFault(t, err, 409, "CSMS.0101")
	if _, err := c.DeleteSecret(&model.DeleteSecretRequest{SecretName: name}); err != nil {
		t.Fatal(err)
	}
	_, err = restore(blob[:len(blob)-2] + "AA")
	wantFault(t, err, 400, "CSMS.0910")
	back, err := restore(blob)
	if err != nil {
		t.Fatal(err)
	}
	if s := back.Secret; *s.Name != name || *s.Id == *created.Secret.Id || *s.CreateTime != *created.Secret.CreateTime || *s.State != "ENABLED" {
		t.Errorf("restored %v", s)
	}
	for version, want := range map[string]string{"v1": text, "latest": second} {
		got, err := c.ShowSecretVersion(&model.ShowSecretVersionRequest{SecretName: name, VersionId: version})
		if err != nil || *got.Version.SecretString != want {
			t.Errorf("%s: %v, %v", version, got, err)
		}
	}
}
