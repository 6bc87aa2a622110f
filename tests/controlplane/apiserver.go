package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"
)

// bootstrapped is what a client may count on from the first moment. /readyz covers the hooks that make the
// bootstrap roles, but not the namespaces.
var bootstrapped = []string{
	"/readyz",
	"/api/v1/namespaces/default",
	"/api/v1/namespaces/kube-system",
	"/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin",
	"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/cluster-admin",
}

// newAPIServer describes the API server: what is not said here is Kubernetes' default, so admission is that
// of an ordinary cluster.
func newAPIServer(dir string, port, etcdPort int, c *credentials) *child {
	server := serverURL(port)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.caPEM)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	const issuer = "https://kubernetes.default.svc"

	return &child{
		name:  "apiserver",
		asset: "kube-apiserver",
		args: []string{
			"apiserver",
			"--etcd-servers=" + fmt.Sprintf("http://127.0.0.1:%d", etcdPort),
			"--bind-address=127.0.0.1",
			"--advertise-address=127.0.0.1",
			// Endpoints of the service "kubernetes" may not be loopback addresses.
			"--endpoint-reconciler-type=none",
			"--secure-port=" + fmt.Sprint(port),
			"--permit-port-sharing", // see reservePort
			"--tls-cert-file=" + c.servingCert,
			"--tls-private-key-file=" + c.servingKey,
			"--kubelet-certificate-authority=" + c.ca, // what the node serves with
			"--authorization-mode=RBAC",
			"--token-auth-file=" + c.tokenFile,
			"--service-account-issuer=" + issuer,
			"--service-account-signing-key-file=" + c.serviceAccountKey,
			"--service-account-key-file=" + c.serviceAccountKey,
			"--service-cluster-ip-range=10.0.0.0/24",
			"--allow-privileged",
			// Load tests are to meet the limits of the machine, not those of a default.
			"--max-requests-inflight=4000",
			"--max-mutating-requests-inflight=2000",
		},
		log: filepath.Join(dir, "apiserver.log"),
		ready: func(ctx context.Context) error {
			for _, path := range bootstrapped {
				if err := get(ctx, client, server+path, c.adminToken); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func serverURL(port int) string { return fmt.Sprintf("https://127.0.0.1:%d", port) }

// get fails unless url answers 200 within two seconds. The token is a bearer token, or empty.
func get(ctx context.Context, client *http.Client, url, token string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 4096)) // only for the error below, and to reuse the connection
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s answers %s: %s", url, response.Status, body)
	}
	return nil
}
