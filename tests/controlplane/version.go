package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	_ "unsafe" // for go:linkname

	"k8s.io/component-base/version"
)

// Kubernetes takes its version from linker flags of its own release build, and calls itself v0.0.0-master
// without them. go.mod already says which version this is, so it is set from there and a plain `go build`
// is enough. SetDynamicVersion below fails if the variable behind this name is ever no longer the one that
// counts.
//
//go:linkname kubernetesVersion k8s.io/component-base/version.gitVersion
var kubernetesVersion string

// stampVersion makes the API server's /version, and the user agent of the controllers, say the version
// that is linked in.
func stampVersion() error {
	linked, err := linkedVersion("k8s.io/kubernetes")
	if err != nil {
		return err
	}
	kubernetesVersion = linked
	return version.SetDynamicVersion(linked)
}

func printVersions(out io.Writer) {
	for _, module := range []string{"k8s.io/kubernetes", "go.etcd.io/etcd/server/v3"} {
		linked, err := linkedVersion(module)
		if err != nil {
			linked = err.Error()
		}
		fmt.Fprintln(out, module, linked)
	}
	fmt.Fprintln(out, "go", runtime.Version())
}

// linkedVersion returns the version of a module as the build recorded it.
func linkedVersion(module string) (string, error) {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "", fmt.Errorf("this binary carries no build information: build it as a module")
	}
	for _, dependency := range build.Deps {
		if dependency.Path == module {
			return dependency.Version, nil
		}
	}
	return "", fmt.Errorf("the build information does not name %s", module)
}
