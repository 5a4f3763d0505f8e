package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// bill lists what is in a binary, in CycloneDX: the Go modules as the linker recorded them, and the Java libraries in
// the JARs that the binary carries.
func (r *release) bill(binary, arch string) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	sum, err := sumOf(binary)
	if err != nil {
		return nil, err
	}
	components := []cdx.Component{{Type: cdx.ComponentTypePlatform, Name: "go", Version: strings.TrimPrefix(info.GoVersion, "go"),
		BOMRef: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"), PackageURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		purl := "pkg:golang/" + m.Path + "@" + m.Version
		components = append(components, cdx.Component{Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, BOMRef: purl, PackageURL: purl})
	}
	java, err := r.javaComponents()
	if err != nil {
		return nil, err
	}
	components = append(components, java...)
	slices.SortFunc(components, func(a, b cdx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	id := sha256.Sum256([]byte(sum))
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // a UUID of version 8: the same for the same binary
	bom := cdx.NewBOM()
	bom.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
	bom.Metadata = &cdx.Metadata{Timestamp: r.time.Format("2006-01-02T15:04:05Z"), Component: &cdx.Component{
		Type: cdx.ComponentTypeApplication, Name: "cloudjit", Version: r.version, BOMRef: "pkg:generic/cloudjit@" + r.version + "?arch=" + arch,
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
		Hashes:   &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}}}}
	bom.Components = &components
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

var property = regexp.MustCompile(`(?m)^(groupId|artifactId|version)=(\S+)`)

// javaComponents are the libraries inside the JARs, by what Maven wrote into them.
func (r *release) javaComponents() ([]cdx.Component, error) {
	jars, err := filepath.Glob(filepath.Join(r.root, "internal", "assets", "files", "*.jar"))
	if err != nil || len(jars) == 0 {
		return nil, fmt.Errorf("the binary's JARs are not there: make assets (%w)", err)
	}
	seen := map[string]bool{}
	var list []cdx.Component
	for _, jar := range jars {
		z, err := zip.OpenReader(jar)
		if err != nil {
			return nil, err
		}
		for _, f := range z.File {
			if !strings.HasPrefix(f.Name, "META-INF/maven/") || path.Base(f.Name) != "pom.properties" {
				continue
			}
			rc, err := f.Open()
			if err != nil {
				return nil, err
			}
			text, err := io.ReadAll(io.LimitReader(rc, 1<<16))
			rc.Close()
			if err != nil {
				return nil, err
			}
			values := map[string]string{}
			for _, m := range property.FindAllSubmatch(text, -1) {
				values[string(m[1])] = string(m[2])
			}
			purl := "pkg:maven/" + values["groupId"] + "/" + values["artifactId"] + "@" + values["version"]
			if !seen[purl] {
				seen[purl] = true
				list = append(list, cdx.Component{Type: cdx.ComponentTypeLibrary, Group: values["groupId"], Name: values["artifactId"], Version: values["version"], BOMRef: purl, PackageURL: purl})
			}
		}
		if err := z.Close(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// debianBill lists the packages of a base, from dpkg's own list of them.
func (r *release) debianBill(status []byte, image string) ([]byte, error) {
	var components []cdx.Component
	for paragraph := range strings.SplitSeq(string(status), "\n\n") {
		values := map[string]string{}
		for line := range strings.Lines(paragraph) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(line, " ") {
				values[key] = value
			}
		}
		if values["Package"] == "" || !strings.HasSuffix(values["Status"], " installed") {
			continue
		}
		purl := fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", values["Package"], values["Version"], values["Architecture"])
		components = append(components, cdx.Component{Type: cdx.ComponentTypeLibrary, Name: values["Package"], Version: values["Version"], BOMRef: purl, PackageURL: purl})
	}
	if len(components) == 0 {
		return nil, os.ErrNotExist
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: r.time.Format("2006-01-02T15:04:05Z"), Component: &cdx.Component{
		Type: cdx.ComponentTypeContainer, Name: "cloudjit", Version: r.version, BOMRef: "pkg:oci/cloudjit@" + image}}
	bom.Components = &components
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
