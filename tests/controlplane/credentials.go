package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// credentials are the files that say who is who, made anew at every start.
type credentials struct {
	ca, servingCert, servingKey string // ca signs the serving certificate and nothing else; its key is not kept
	serviceAccountKey           string // signs the tokens of service accounts
	tokenFile                   string // what the API server reads: token,user,uid,"groups"
	tokens                      string // a folder: one file a controller, its token in it
	caPEM                       []byte
	adminToken                  string
}

// The controllers are to the API server who they are in a cluster whose controller manager runs with
// --use-service-account-credentials: the bootstrap roles grant them what they need, and a policy that
// matches on their names matches.
const (
	namespaceController = "namespace-controller"
	garbageCollector    = "generic-garbage-collector"
)

// nodeRegistrar makes the node known, an administrator's affair: a kubelet's own rights come with a
// certificate and an authorizer for it, which a node without pods of its own has no use for.
const nodeRegistrar = "node-registrar"

func issueCredentials(dir string) (*credentials, error) {
	c := &credentials{
		ca:                filepath.Join(dir, "ca.crt"),
		servingCert:       filepath.Join(dir, "serving.crt"),
		servingKey:        filepath.Join(dir, "serving.key"),
		serviceAccountKey: filepath.Join(dir, "service-account.key"),
		tokenFile:         filepath.Join(dir, "tokens.csv"),
		tokens:            filepath.Join(dir, "tokens"),
		adminToken:        newToken(),
	}
	if err := c.issueCertificates(); err != nil {
		return nil, fmt.Errorf("issue the serving certificate: %w", err)
	}
	if _, err := newKey(c.serviceAccountKey); err != nil {
		return nil, err
	}
	return c, c.issueTokens()
}

func (c *credentials) issueTokens() error {
	if err := os.MkdirAll(c.tokens, 0o700); err != nil {
		return err
	}
	lines := fmt.Sprintf("%s,admin,admin,system:masters\n", c.adminToken)
	for _, controller := range []string{namespaceController, garbageCollector} {
		token := newToken()
		lines += fmt.Sprintf("%s,system:serviceaccount:kube-system:%s,%s,\"system:serviceaccounts,system:serviceaccounts:kube-system\"\n",
			token, controller, controller)
		if err := os.WriteFile(filepath.Join(c.tokens, controller), []byte(token), 0o600); err != nil {
			return err
		}
	}
	token := newToken()
	lines += fmt.Sprintf("%s,%s,%s,system:masters\n", token, nodeRegistrar, nodeRegistrar)
	if err := os.WriteFile(filepath.Join(c.tokens, nodeRegistrar), []byte(token), 0o600); err != nil {
		return err
	}
	return os.WriteFile(c.tokenFile, []byte(lines), 0o600)
}

// issueCertificates writes an authority and a serving certificate signed by it. Two, because strict
// verifiers refuse a server whose own certificate is an authority's.
func (c *credentials) issueCertificates() error {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	servingKey, err := newKey(c.servingKey)
	if err != nil {
		return err
	}
	from := time.Now().Add(-time.Hour) // for clients whose clock is behind
	to := from.AddDate(1, 0, 0)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to,
		Subject:               pkix.Name{CommonName: "controlplane-ca"},
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	serving := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: to,
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	if authority, err = x509.ParseCertificate(authorityDER); err != nil { // for the key id it was given
		return err
	}
	servingDER, err := x509.CreateCertificate(rand.Reader, serving, authority, servingKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	c.caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityDER})
	if err := os.WriteFile(c.ca, c.caPEM, 0o600); err != nil {
		return err
	}
	servingPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: servingDER})
	return os.WriteFile(c.servingCert, servingPEM, 0o600)
}

// newKey makes a private key and writes it to path as PEM (SEC 1, RFC 5915): the API server reads a verifying key out of no other kind of private key.
func newKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func newToken() string {
	var secret [32]byte
	rand.Read(secret[:]) // never fails, crypto/rand
	return hex.EncodeToString(secret[:])
}

// writeKubeconfig writes the administrator's way in, everything inline, mode 0600.
func (c *credentials) writeKubeconfig(path, server string) error {
	const name = "controlplane"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: c.caPEM}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{Token: c.adminToken}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: "admin"}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, path)
}
